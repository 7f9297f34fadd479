//! What the doctor makes of answers and figures.
use super::*;

#[test]
fn a_refusal_is_an_absence() {
    for error in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS] {
        let finding = asked("mseal", Err(error), "less");
        assert_eq!(finding.state, State::Absent);
        assert_eq!(finding.remark, format!("{error:?}: less"));
    }
    assert_eq!(asked("mseal", Ok(()), "less").state, State::Ok);
}

#[test]
fn the_table_has_a_line_for_each_finding_in_columns() {
    let findings = examine();
    let table = table(&findings);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), findings.len() + 1);
    let column = lines[0].find("state").unwrap();
    for (line, finding) in lines[1..].iter().zip(&findings) {
        assert!(line[column..].starts_with(&finding.state.to_string()), "{line}");
    }
}

#[test]
fn figures_that_limit_are_seen() {
    assert_eq!(core_pattern("|/usr/bin/apport").state, State::Limited);
    assert_eq!(core_pattern("core").state, State::Ok);
    assert_eq!(overcommit("2").state, State::Limited);
    assert_eq!(overcommit("0").state, State::Ok);
    assert_eq!(clock("hpet").state, State::Limited);
    assert_eq!(clock("tsc").state, State::Ok);
    assert_eq!(cores(1).state, State::Limited);
    assert_eq!(cores(2).state, State::Ok);
}

#[test]
fn what_every_kernel_of_the_last_years_has_is_there() {
    // Linux 5.4; the engine cannot run without.
    assert!(probe::pidfd().is_ok());
    assert!(probe::wait_by_pidfd().is_ok());
    assert!(probe::sealed_memory().is_ok());
}

#[test]
fn probes_leave_no_descriptor_behind() {
    let mut counts = Vec::new();
    // Other tests of this process open files meanwhile: a leak shows in every round, they do not.
    for _ in 0..50 {
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        drop(system_calls());
        counts.push(std::fs::read_dir("/proc/self/fd").unwrap().count() > before);
    }
    assert!(counts.contains(&false));
}
