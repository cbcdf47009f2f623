//! `cargo xtask test`: all that CI checks, from a clean checkout.

use crate::install;
use crate::shell::{cargo, root, run, step};
use crate::test_v2;
use crate::tidy;

/// Installs, checks, builds, tests.
pub(crate) fn test() -> anyhow::Result<()> {
    install::packages(install::RUN)?;
    install::packages(install::TEST)?;
    let (old, new) = install::kubectls()?;
    step("tidy");
    tidy::tidy(&root())?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The end-to-end tests start the programs themselves, so these are built first.
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    // Properties are tried with the same cases each time here, and with new ones by a plain `cargo test`.
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "20261123".to_owned());
    run(cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("PROPTEST_RNG_SEED", seed)
        .env("GANNET_TEST_KUBECTL_OLD", old)
        .env("GANNET_TEST_KUBECTL", new))?;
    test_v2::test_v2(&[])
}
