//! Makes the release binary smaller. Takes the names out of it: cargo forgets `strip` for a package that has an
//! optimisation level of its own. Where the linker can, functions of the same code become one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const FOLD: &str = "-Wl,--icf=all";

fn main() {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == *value);
    println!("cargo::rerun-if-changed=build.rs");
    // Profile `profiling` inherits the release, and wants its lines.
    if !is("PROFILE", "release") || !is("DEBUG", "false") {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    if links_with(FOLD) {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
}

/// Whether the linker that rustc calls for this target takes an argument: lld and mold do, the one of binutils does not.
fn links_with(argument: &str) -> bool {
    let variable = |name: &str| std::env::var_os(name);
    let (Some(directory), Some(target)) = (variable("OUT_DIR").map(PathBuf::from), variable("TARGET")) else {
        return false;
    };
    let source = directory.join("empty.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    if let Some(linker) = variable("RUSTC_LINKER") {
        rustc.arg("-C").arg(joined("linker=", linker));
    }
    rustc.arg("--target").arg(target).arg("-C").arg(format!("link-arg={argument}"));
    rustc.arg("-o").arg(directory.join("empty")).arg(source);
    let outcome = rustc.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    outcome.is_ok_and(|status| status.success())
}

fn joined(prefix: &str, text: OsString) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(text);
    whole
}
