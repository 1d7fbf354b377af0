//! Makes the release binary smaller. Takes the names out of it: cargo forgets `strip` for a package that has an
//! optimisation level of its own. Where the linker can, functions of the same code become one; where the loader can,
//! too, addresses that it has to fill in are packed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FOLD: &str = "-Wl,--icf=all";
const PACK: &str = "-Wl,-z,pack-relative-relocs";

fn main() {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == *value);
    println!("cargo::rerun-if-changed=build.rs");
    // Profile `profiling` inherits the release, and wants its lines.
    if !is("PROFILE", "release") || !is("DEBUG", "false") {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    if linked_with(FOLD).is_some() {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
    // A program for another machine cannot be tried here.
    let is_native = std::env::var_os("TARGET") == std::env::var_os("HOST");
    if is_native && linked_with(PACK).is_some_and(|program| runs(&program)) {
        println!("cargo::rustc-link-arg-bins={PACK}");
    }
}

fn runs(program: &Path) -> bool {
    Command::new(program).stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A program that does nothing, where the linker that rustc calls for this target takes an argument: lld and mold take
/// the first of them, the one of binutils does not.
fn linked_with(argument: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name);
    let (Some(directory), Some(target)) = (variable("OUT_DIR").map(PathBuf::from), variable("TARGET")) else {
        return None;
    };
    let source = directory.join("empty.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return None;
    }
    let program = directory.join("empty");
    let mut rustc = Command::new(variable("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    if let Some(linker) = variable("RUSTC_LINKER") {
        rustc.arg("-C").arg(joined("linker=", linker));
    }
    rustc.arg("--target").arg(target).arg("-C").arg(format!("link-arg={argument}"));
    rustc.arg("-o").arg(&program).arg(source);
    let outcome = rustc.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    outcome.is_ok_and(|status| status.success()).then_some(program)
}

fn joined(prefix: &str, text: OsString) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(text);
    whole
}
