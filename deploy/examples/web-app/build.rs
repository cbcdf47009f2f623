//! Links the program statically within an ordinary `cargo build`, so that it runs in an image that holds nothing else.
//!
//! `-C target-feature=+crt-static` is a flag for a whole build: it would need a `--target` and folders of its own. Here
//! the linker is told instead. rustc names glibc's shared libraries in the middle of the command, so scripts of those
//! names, found first, lead to the static archives. Nothing of it concerns another C library than glibc: musl is static
//! by default.

use std::path::PathBuf;

/// What rustc asks for, and what the linker gets.
const LIBRARIES: [(&str, &str); 7] = [
    ("gcc_s", "GROUP ( libgcc_eh.a libgcc.a libc.a )"),
    ("c", "GROUP ( libc.a libgcc_eh.a libgcc.a )"),
    ("m", "INPUT ( libm.a )"),
    ("rt", "INPUT ( librt.a )"),
    ("pthread", "INPUT ( libpthread.a )"),
    ("dl", "INPUT ( libdl.a )"),
    ("util", "INPUT ( libutil.a )"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS")? != "linux" || std::env::var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return Ok(());
    }
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    for (name, script) in LIBRARIES {
        std::fs::write(folder.join(format!("lib{name}.so")), script)?;
    }
    println!("cargo::rustc-link-arg-bins=-L{}", folder.display());
    println!("cargo::rustc-link-arg-bins=-static-pie");
    Ok(())
}
