//! A new file in an embedded folder must trigger a rebuild.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for folder in ["migrations", "sql", "docs", "web"] {
        if std::path::Path::new(folder).exists() {
            println!("cargo:rerun-if-changed={folder}");
        }
    }
}
