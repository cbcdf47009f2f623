//! What came of the checks, and how it is told.

use serde::Serialize;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "camelCase")]
pub(super) enum Finding {
    /// All is well; what was seen.
    Ok { seen: String },
    /// Pods run all the same.
    Warning { cause: String, remedy: String },
    /// Pods, or some pods, do not run.
    Wrong { cause: String, remedy: String },
}

pub(super) fn good(seen: impl Into<String>) -> Finding {
    Finding::Ok { seen: seen.into() }
}

pub(super) fn warning(cause: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Warning { cause: cause.into(), remedy: remedy.into() }
}

pub(super) fn wrong(cause: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Wrong { cause: cause.into(), remedy: remedy.into() }
}

/// A finding and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Checked {
    pub(super) subject: &'static str,
    #[serde(flatten)]
    pub(super) finding: Finding,
}

/// All of them, in the order of the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Findings {
    pub(super) checks: Vec<Checked>,
}

impl Findings {
    pub(super) fn add(&mut self, subject: &'static str, finding: Finding) {
        self.checks.push(Checked { subject, finding });
    }

    /// Whether pods can run.
    pub(super) fn well(&self) -> bool {
        !self.checks.iter().any(|c| matches!(c.finding, Finding::Wrong { .. }))
    }

    pub(super) fn text(&self) -> String {
        let line = |Checked { subject, finding }: &Checked| match finding {
            Finding::Ok { seen } => format!("ok       {subject}: {seen}\n"),
            Finding::Warning { cause, remedy } => {
                format!("warning  {subject}: {cause}\n         → {remedy}\n")
            }
            Finding::Wrong { cause, remedy } => format!("WRONG    {subject}: {cause}\n         → {remedy}\n"),
        };
        let count = |is: fn(&Finding) -> bool| self.checks.iter().filter(|c| is(&c.finding)).count();
        let wrong = count(|f| matches!(f, Finding::Wrong { .. }));
        let warnings = count(|f| matches!(f, Finding::Warning { .. }));
        let lines: String = self.checks.iter().map(line).collect();
        format!("{lines}{} checks, {wrong} wrong, {warnings} warnings\n", self.checks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_as_text_and_as_json() {
        let mut findings = Findings::default();
        findings.add("a", good("fine"));
        findings.add("b", warning("slow", "wait"));
        assert!(findings.well());
        findings.add("c", wrong("off", "turn it on"));
        assert!(!findings.well());
        let text = "ok       a: fine\nwarning  b: slow\n         → wait\nWRONG    c: off\n         → turn it on\n3 checks, 1 wrong, 1 warnings\n";
        assert_eq!(findings.text(), text);
        let json = serde_json::to_value(&findings).unwrap();
        assert_eq!(
            json["checks"][2],
            serde_json::json!({"subject": "c", "result": "wrong", "cause": "off", "remedy": "turn it on"})
        );
    }
}
