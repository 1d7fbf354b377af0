//! Takes the names out of the release binary: cargo forgets `strip` for a package that has an optimisation level of its
//! own.

fn main() {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == *value);
    // Profile `profiling` inherits the release, and wants its lines.
    if is("PROFILE", "release") && is("DEBUG", "false") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
