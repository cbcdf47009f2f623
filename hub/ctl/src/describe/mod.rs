//! `gannet describe`: an object for a person, with what happened to it. kubectl's headings and words.

mod command;
mod container;
mod events;
mod generic;
mod node;
mod page;
mod pod;
mod service;
mod time;
mod volume;
mod workload;

pub use command::DescribeArgs;
pub(crate) use command::{describe, template};
