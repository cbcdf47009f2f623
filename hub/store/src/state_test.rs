use proptest::prelude::*;

use super::*;
use crate::{Op, Transaction};

fn state() -> State {
    State::new(Records::new(), Revision(0), 1000)
}

fn key(name: &str) -> Key {
    name.parse().unwrap()
}

fn put(name: &str, value: &str, expect: Expect) -> Op {
    Op::Put { key: key(name), value: value.into(), expect }
}

fn delete(name: &str, expect: Expect) -> Op {
    Op::Delete { key: key(name), expect }
}

fn apply(state: &mut State, ops: Vec<Op>) -> Outcome {
    state.apply(&Transaction { ops }.into(), &mut |_, _| {})
}

fn committed(revision: u64, results: &[u64]) -> Outcome {
    Outcome::Committed {
        revision: Revision(revision),
        results: results.iter().copied().map(Revision).collect(),
    }
}

#[test]
fn expectations() {
    let mut state = state();
    let (any, absent, at) = (Expect::Any, Expect::Absent, |r| Expect::At(Revision(r)));
    let mut check = |ops: Vec<Op>, expected: Outcome| {
        let label = format!("{ops:?}");
        assert_eq!(apply(&mut state, ops), expected, "{label}");
    };
    check(vec![put("pods/a/x", "1", absent)], committed(1, &[1]));
    check(vec![put("pods/a/x", "2", absent)], Outcome::Conflict { op: 0, found: Some(Revision(1)) });
    check(vec![put("pods/a/x", "2", at(7))], Outcome::Conflict { op: 0, found: Some(Revision(1)) });
    check(vec![put("pods/a/y", "2", at(1))], Outcome::Conflict { op: 0, found: None });
    check(vec![put("pods/a/x", "2", at(1)), put("pods/a/y", "1", any)], committed(2, &[2, 2]));
    // The second operation fails, so the first has not happened.
    check(
        vec![delete("pods/a/x", any), delete("pods/a/y", absent)],
        Outcome::Conflict { op: 1, found: Some(Revision(2)) },
    );
    check(vec![delete("pods/a/x", at(2))], committed(3, &[3]));
    // Nothing changed: no revision.
    check(vec![delete("pods/a/x", any)], committed(3, &[3]));
    check(vec![], committed(3, &[]));
    check(vec![delete("pods/a/x", at(2))], Outcome::Conflict { op: 0, found: None });
    check(vec![put("pods/a/y", "3", any), delete("pods/a/z", absent)], committed(4, &[4, 3]));

    let y = state.get(&key("pods/a/y")).unwrap();
    assert_eq!((y.created, y.modified, y.value.as_ref()), (Revision(2), Revision(4), b"3".as_slice()));
    assert_eq!(state.get(&key("pods/a/x")), None);
}

#[test]
fn pages() {
    let mut state = state();
    for name in
        ["pods/a/1", "pods/a/2", "pods/b/1", "pods/b/2", "pods/b/3", "pods.x/a/1", "nodes//n", "po/a/1"]
    {
        apply(&mut state, vec![put(name, "", Expect::Any)]);
    }
    let check = |range: Range, names: &[&str], remaining: usize| {
        let page = state.list(&range);
        let found: Vec<String> = page.items.iter().map(|i| i.key.to_string()).collect();
        assert_eq!(found, names, "{range:?}");
        assert_eq!(page.remaining, remaining, "{range:?}");
        assert_eq!(page.revision, Revision(8));
        assert_eq!(page.more.is_some(), remaining > 0);
        page.more
    };
    let all = ["pods/a/1", "pods/a/2", "pods/b/1", "pods/b/2", "pods/b/3"];
    check(Range::of("pods"), &all, 0);
    check(Range::within("pods", "b"), &all[2..], 0);
    check(Range::within("pods", ""), &[], 0);
    check(Range::within("nodes", ""), &["nodes//n"], 0);
    let more = check(Range::of("pods").page(None, Some(2)), &all[..2], 3);
    let more = check(Range::of("pods").page(more, Some(2)), &all[2..4], 1);
    let more = check(Range::of("pods").page(more, Some(2)), &all[4..], 0);
    assert_eq!(more, None);
    // A key that is gone, or of another range, is a place all the same.
    check(Range::of("pods").page(Some(key("pods/a/1x")), None), &all[1..], 0);
    check(Range::of("pods").page(Some(key("nodes//n")), None), &all, 0);
    check(Range::of("pods").page(Some(key("zzz/a/b")), None), &[], 0);
}

/// The store as one would write it on a napkin.
#[derive(Default)]
struct Model {
    objects: BTreeMap<Key, (u64, u64, Vec<u8>)>,
    revision: u64,
}

impl Model {
    fn apply(&mut self, ops: &[Op]) -> bool {
        let holds = |op: &Op| {
            let (Op::Put { expect, .. } | Op::Delete { expect, .. }) = op;
            let found = self.objects.get(op.key()).map(|o| o.1);
            match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::At(r) => found == Some(r.0),
            }
        };
        if !ops.iter().all(holds) {
            return false;
        }
        let next = self.revision + 1;
        for op in ops {
            match op {
                Op::Put { key, value, .. } => {
                    let created = self.objects.get(key).map_or(next, |o| o.0);
                    self.objects.insert(key.clone(), (created, next, value.clone()));
                    self.revision = next;
                }
                Op::Delete { key, .. } => {
                    if self.objects.remove(key).is_some() {
                        self.revision = next;
                    }
                }
            }
        }
        true
    }
}

fn an_op() -> impl Strategy<Value = Op> {
    let names = prop_oneof![Just("pods/a/x"), Just("pods/a/y"), Just("pods/b/x"), Just("nodes//n")];
    let expect = prop_oneof![
        2 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        2 => (0_u64..12).prop_map(|r| Expect::At(Revision(r))),
    ];
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..4));
    (names, expect, value).prop_map(|(name, expect, value)| match value {
        Some(value) => Op::Put { key: key(name), value, expect },
        None => Op::Delete { key: key(name), expect },
    })
}

proptest! {
    #[test]
    fn like_the_model(transactions in proptest::collection::vec(proptest::collection::vec(an_op(), 0..3), 0..30)) {
        let (mut state, mut model) = (state(), Model::default());
        let mut disk = Records::new();
        let mut replayed: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
        for ops in transactions {
            let transaction = Transaction { ops };
            if transaction.validate().is_err() {
                continue;
            }
            let happened = model.apply(&transaction.ops);
            let outcome = state.apply(&transaction.into(), &mut |key, record| match record {
                Some(record) => drop(disk.insert(key.into(), record.clone())),
                None => drop(disk.remove(key)),
            });
            prop_assert_eq!(matches!(outcome, Outcome::Committed { .. }), happened);
        }
        prop_assert_eq!(state.revision.0, model.revision);
        prop_assert_eq!(&state.records, &disk);
        let found: BTreeMap<Key, (u64, u64, Vec<u8>)> = ["pods", "nodes"]
            .iter()
            .flat_map(|kind| state.list(&Range::of(*kind)).items)
            .map(|i| (i.key, (i.created.0, i.modified.0, i.value.to_vec())))
            .collect();
        prop_assert_eq!(&found, &model.objects);

        // The events, played from the beginning, give the same objects.
        let mut at = state.history.cursor(Revision(0)).unwrap();
        let mut last = Revision(0);
        while let Some((event, next)) = state.history.next(at, |_| true).unwrap() {
            prop_assert!(event.revision >= last);
            last = event.revision;
            let before = match &event.kind {
                EventKind::Put { created, value, previous } => {
                    prop_assert_eq!(*created, previous.is_none());
                    let before = replayed.insert(event.key.clone(), value.to_vec());
                    prop_assert_eq!(&before, &previous.as_ref().map(|p| p.to_vec()));
                    before
                }
                EventKind::Delete { previous } => {
                    let before = replayed.remove(&event.key);
                    prop_assert_eq!(&before, &Some(previous.to_vec()));
                    before
                }
            };
            drop(before);
            at = next;
        }
        prop_assert_eq!(last, state.revision);
        let values: BTreeMap<Key, Vec<u8>> = model.objects.into_iter().map(|(k, o)| (k, o.2)).collect();
        prop_assert_eq!(replayed, values);
    }
}
