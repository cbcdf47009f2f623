//! Two runs of a seed are the same, line by line: no clock, no hash-map order, no randomness but the seed's.

use gannet_tests_sim::{Keep, Params, Scenario, run};

#[test]
fn a_seed_is_a_run() {
    for scenario in [Scenario::Storm, Scenario::Apart] {
        for seed in [103, 105] {
            let params = Params::new(seed, scenario);
            let (first, second) = (run(&params, Keep::All), run(&params, Keep::All));
            let differ = first.lines.iter().zip(&second.lines).find(|(a, b)| a != b);
            assert_eq!(differ, None, "{scenario:?} {seed}");
            assert_eq!((first.hash, first.count), (second.hash, second.count), "{scenario:?} {seed}");
        }
        let (one, other) = (Params::new(103, scenario), Params::new(105, scenario));
        assert_ne!(run(&one, Keep::Tail).hash, run(&other, Keep::Tail).hash, "{scenario:?}");
    }
}
