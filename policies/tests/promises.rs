//! What each policy's documentation promises, held against it over random crashes of one transaction, with random
//! parameters. One file a policy; each has an oracle of its own that shares no code with the policy.

mod strategies;

macro_rules! promises {
    ($($path:literal $name:ident;)*) => { $(#[path = $path] mod $name;)* };
}

promises! {
    "promises/changed_environment.rs" changed_environment;
    "promises/checkpoint_resume.rs" checkpoint_resume;
    "promises/circuit_breaker.rs" circuit_breaker;
    "promises/escalation.rs" escalation;
    "promises/exponential_backoff.rs" exponential_backoff;
    "promises/keep_if_intact.rs" keep_if_intact;
    "promises/learning.rs" learning;
    "promises/older_commit.rs" older_commit;
    "promises/process_decides.rs" process_decides;
    "promises/quarantine.rs" quarantine;
    "promises/zero_state.rs" zero_state;
}
