//! Builds again when a migration is added: `sqlx::migrate!` alone sees only changes of files that it already knows.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
