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

# A minute of a thousand crashes a second under each mechanism with each spare; 10,000 crashes beside writing threads
storm:
    cargo test --release -p crashbed --test handover -- --ignored --nocapture --test-threads 1

# How long a recovery takes, and how close that is to what the kernel allows
latency *ARGS:
    cargo run --release -- run recovery-latency {{ARGS}}

# What commits, writes and restores cost under each mechanism
mechanisms *ARGS:
    cargo run --release -- run mechanism-cost {{ARGS}}

# Each path of the engine beside its floor
bench *ARGS:
    cargo bench {{ARGS}}

# Make summary, plots and report of a run's folder again from its trials
report DIR:
    cargo run --release -- report {{DIR}}
