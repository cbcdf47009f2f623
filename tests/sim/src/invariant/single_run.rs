//! No container of a pod ever runs twice at once, and no pod runs on two nodes.

use std::collections::BTreeMap;

use crate::machine::Machine;

/// Looks at what truly runs.
pub fn check<'a>(machines: impl Iterator<Item = (&'a str, &'a Machine)>) -> Result<(), String> {
    let mut place = BTreeMap::new();
    for (node, machine) in machines {
        let mut runs = BTreeMap::new();
        for (pod, id, _) in machine.running() {
            if let Some(other) = runs.insert((pod, &id.name), id) {
                return Err(format!("{node} runs {pod}/{other} and {pod}/{id} at once"));
            }
            if let Some(other) = place.insert(pod, node).filter(|other| *other != node) {
                return Err(format!("pod {pod} runs on {other} and on {node}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet_protocols_model::{Digest, Timestamp};

    fn machine(runs: &[(&str, &str, bool)]) -> Machine {
        let mut machine = Machine::default();
        for (pod, id, started) in runs {
            let pod = pod.parse().unwrap();
            machine.prepare(&pod);
            let begun = started.then_some(Timestamp::default());
            machine.start(&pod, &id.parse().unwrap(), Digest::of(b"i"), begun).unwrap();
        }
        machine
    }

    fn check_two(a: &[(&str, &str, bool)], b: &[(&str, &str, bool)], expect: &str) {
        let (a, b) = (machine(a), machine(b));
        let got = match check([("n1", &a), ("n2", &b)].into_iter()) {
            Ok(()) => "ok".to_owned(),
            Err(how) => how,
        };
        assert!(got.contains(expect), "{got}");
    }

    #[test]
    fn runs() {
        check_two(
            &[("a", "c.0.01234567", true), ("b", "c.0.01234567", true)],
            &[("d", "c.0.01234567", true)],
            "ok",
        );
        check_two(&[("a", "c.0.01234567", false), ("a", "c.1.01234567", true)], &[], "ok");
        check_two(&[("a", "c.0.01234567", true), ("a", "c.1.01234567", true)], &[], "at once");
        check_two(&[("a", "c.0.01234567", true)], &[("a", "c.0.01234567", true)], "on n1 and on n2");
    }
}
