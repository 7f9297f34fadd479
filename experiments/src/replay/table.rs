//! A replay as text for a terminal.

use super::{Replay, Tally};
use crate::units;
use std::collections::BTreeMap;
use std::fmt;

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { transactions, crashes, .. } = self.all;
        let crashes = units::count(crashes, "recorded crash", "recorded crashes");
        let transactions = units::count(transactions, "transaction", "transactions");
        writeln!(f, "{} over {crashes} of {transactions}\n", self.policy)?;

        let rows = self.by_recorded_policy.iter().map(|(name, tally)| (name.as_str(), tally));
        let rows: Vec<_> = rows.chain([("all", &self.all)]).collect();
        let wide = rows.iter().map(|(name, _)| name.len()).chain(["recorded under".len()]).max().unwrap_or_default();
        let heads = ["transactions", "crashes", "differ", "given up", "of them otherwise", "not asked", "delays"];
        writeln!(f, "{:wide$}  {}", "recorded under", heads.join("  "))?;
        for (name, tally) in rows {
            let delays = units::duration((tally.delay_ns as f64) + tally.counterfactual_delay_ns as f64);
            let counts = [
                tally.transactions,
                tally.crashes,
                tally.differing,
                tally.gave_up,
                tally.gave_up_otherwise,
                tally.not_asked,
            ];
            write!(f, "{name:wide$}")?;
            for (head, cell) in heads.iter().zip(counts.map(|count| count.to_string()).into_iter().chain([delays])) {
                write!(f, "  {cell:>width$}", width = head.len())?;
            }
            writeln!(f)?;
        }

        self.decisions(f)?;
        self.differences(f)?;
        for skipped in &self.skipped {
            writeln!(f, "\n{skipped}")?;
        }
        Ok(())
    }
}

impl Replay {
    fn decisions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { decisions, counterfactual_decisions: counterfactual, .. } = &self.all;
        let actions: std::collections::BTreeSet<_> = decisions.keys().chain(counterfactual.keys()).collect();
        let wide = actions.iter().map(|name| name.len()).chain(["decision".len()]).max().unwrap_or_default();
        writeln!(f, "\n{:wide$}  as it would have been  counterfactual", "decision")?;
        for action in actions {
            let count = |counts: &BTreeMap<String, u64>| counts.get(action).copied().unwrap_or_default();
            writeln!(f, "{action:wide$}  {:>22}  {:>14}", count(decisions), count(counterfactual))?;
        }
        Ok(())
    }

    fn differences(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<(&str, &str), (u64, usize)> = BTreeMap::new();
        for (place, difference) in self.first_differences.iter().enumerate() {
            let kind = (difference.recorded.as_str(), difference.decided.as_str());
            kinds.entry(kind).or_insert((0, place)).0 += 1;
        }
        if kinds.is_empty() {
            return writeln!(f, "\nIt decides as was decided then, about every crash that it is asked about.");
        }
        writeln!(f, "\nFirst differences, recorded → decided")?;
        for ((recorded, decided), (count, place)) in kinds {
            let first = &self.first_differences[place];
            let transactions = units::count(count, "transaction", "transactions");
            writeln!(
                f,
                "  {recorded} → {decided}: {transactions}, first in trial {} at crash {} in operation {}",
                first.trial, first.number, first.operation
            )?;
        }
        writeln!(
            f,
            "\nAfter its first difference a transaction's crashes are those that came under the recorded decisions;"
        )?;
        writeln!(f, "others might have come. What is said of them is counterfactual.")
    }
}
