//! Going back, on the device, from a manifest that does not become ready to its owner's last healthy one.
//!
//! In: the desired world as the document says, what was observed, statuses, the time. Out: the world that the node works
//! towards ([`RollbackMemory::effective`]), and which manifests used up their deadline ([`RollbackMemory::observe`]).
//! Plan, probes and statuses know nothing of it but the effective world.
//!
//! Rules: the clock of a deadline runs only while the agent runs and the images of the manifest are here. Where they have
//! not come within the deadline, the healthy manifest runs meanwhile, and the pull goes on. Without a healthy manifest,
//! or without a deadline, nothing is rolled back. A manifest that failed is not tried again for as long as the document goes on naming it; one
//! that is named again after another one gets another chance.

mod effective;
mod memory;
mod observe;
#[cfg(test)]
mod rollback_test;
mod tried;

pub use memory::{Healthy, OwnerMemory, RollbackMemory};
pub use observe::{Exhausted, Sight};
