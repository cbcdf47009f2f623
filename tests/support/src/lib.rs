//! What end-to-end tests share: the built programs, real clients, a network namespace of one's own, patience.
//!
//! Nothing here sleeps as a way to synchronise: [`wait_until`] polls a condition with a deadline and says what it last saw.

#![forbid(unsafe_code)]

mod kubectl;
pub mod one_image;
mod patience;
mod program;
mod sandbox;
mod text;

pub use kubectl::{Kubectl, kubectl_binaries};
pub use patience::wait_until;
pub use program::{Running, binary, run};
pub use sandbox::Sandbox;
pub use text::{contains, squeezed};
