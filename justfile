# What a developer does daily. `just` alone lists it.

default:
    @just --list

# Formats, lints and documentation, as they must be before a commit
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# Everything that can fail
test:
    cargo test --workspace

# Crash real processes for a minute, and write a report
quick *ARGS:
    cargo run --release -- run quick {{ARGS}}

# Each path of the engine beside its floor
bench *ARGS:
    cargo bench {{ARGS}}

# Make summary, plots and report of a run's folder again from its trials
report DIR:
    cargo run --release -- report {{DIR}}
