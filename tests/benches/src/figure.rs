//! Samples and the table that they end in.

use std::time::Duration;

/// What one candidate took, a run each.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The middle one; nothing where there was no run.
    pub(crate) fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// What a tenth of the runs stayed below, and what nine tenths did.
    pub(crate) fn spread(&self) -> Option<(Duration, Duration)> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |tenth: usize| sorted.get((sorted.len() * tenth / 10).min(sorted.len().saturating_sub(1)));
        Some((*at(1)?, *at(9)?))
    }
}

/// Milliseconds with one place.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Prints a table of candidates; the first is ours, and each other one says how many times its median ours is.
pub(crate) fn table(title: &str, rows: &[(String, &Samples)]) {
    println!("\n### {title}\n\n| | median ms | 10 % | 90 % | gannet is |\n| --- | --- | --- | --- | --- |");
    let ours = rows.first().and_then(|(_, samples)| samples.median());
    for (index, (name, samples)) in rows.iter().enumerate() {
        let (Some(median), Some((low, high))) = (samples.median(), samples.spread()) else {
            println!("| {name} | not there | | | |");
            continue;
        };
        let ratio = match ours {
            Some(ours) if index > 0 => format!("{:.2} ×", ours.as_secs_f64() / median.as_secs_f64()),
            _ => String::new(),
        };
        println!("| {name} | {} | {} | {} | {ratio} |", millis(median), millis(low), millis(high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_and_spread() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), None);
        (1..=11).rev().for_each(|n| samples.push(Duration::from_millis(n)));
        let ms = Duration::from_millis;
        assert_eq!((samples.median(), samples.spread()), (Some(ms(6)), Some((ms(2), ms(10)))));
        assert_eq!(millis(ms(1500)), "1500.0");
    }
}
