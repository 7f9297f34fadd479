//! Bakes the git revision into the program, for the manifest of each run. Without git, or outside a repository of its
//! own, it is `unknown`: the build never fails for it. And builds the C parser of the workload `native`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rustc-env=CRASHBED_REVISION={}", revision().unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo::rerun-if-changed=build.rs");
    // A commit or a checkout changes the first two, an edit one of the others.
    for path in
        ["../.git/HEAD", "../.git/logs/HEAD", "../src", "../policies/src", "../derive/src", "src", "suites", "native"]
    {
        // A path that is not there would run this again at every build.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    build_parser();
}

/// The flags are the same in every profile. The parser's bugs are there to crash, so the compiler must neither reason from
/// them (`-O1`, and nothing inlined, made into a loop, or made into calls of its own choice), nor put checks before those
/// that the C library makes by itself where it finds its heap damaged (`_FORTIFY_SOURCE`).
fn build_parser() {
    cc::Build::new()
        .file("native/parser.c")
        .std("c11")
        .opt_level(1)
        .debug(true)
        .extra_warnings(true)
        .flags(["-fno-inline", "-fno-optimize-sibling-calls", "-fno-omit-frame-pointer", "-fno-builtin"])
        .flags(["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0"])
        .compile("crashbed_native");
}

/// The commit, with `-modified` where the files are not as committed.
fn revision() -> Option<String> {
    let workspace = Path::new("..").canonicalize().ok()?;
    // Unpacked inside somebody else's repository, that one's revision would say nothing.
    if Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()? != workspace {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-modified") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
