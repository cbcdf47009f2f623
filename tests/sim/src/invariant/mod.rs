//! What must hold, one invariant a file. Each is asked at every step that could break it.

pub mod authentic;
pub mod converged;
pub mod single_run;
pub mod steady;
pub mod touched;

pub use authentic::Authentic;
