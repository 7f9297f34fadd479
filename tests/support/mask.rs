//! Kernel features, taken away from this process and its forks by a seccomp filter, as an older kernel or a container
//! would.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// `userfaultfd(2)`, with EPERM, as container runtimes do.
    Tracking,
    /// That, and `PAGEMAP_SCAN`, with EPERM, which means the same to the engine as a kernel before 6.7.
    Scanning,
}

impl Without {
    /// Takes it away, for good.
    pub(crate) fn apply(self) {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        rules.insert(libc::SYS_userfaultfd, Vec::new());
        if self == Self::Scanning {
            // `_IOWR('f', 16, struct pm_scan_arg)`.
            let scans = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0xc060_6610);
            let rule = SeccompRule::new(vec![scans.expect("a condition")]).expect("a rule");
            rules.insert(libc::SYS_ioctl, vec![rule]);
        }
        let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let here = std::env::consts::ARCH.try_into().expect("a known processor");
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, here).expect("a filter");
        let program: BpfProgram = filter.try_into().expect("a program");
        seccompiler::apply_filter(&program).expect("seccomp");
        // SAFETY: no pointer is passed; what is refused does nothing.
        assert_eq!(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) }, -1);
    }
}
