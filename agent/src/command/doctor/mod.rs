//! `gannet-agent doctor`: whether this machine can run pods. Each thing that is wrong comes with its cause and a remedy.

mod certificate;
mod cgroups;
mod disk;
mod finding;
mod hub;
mod kernel;
mod machine;
mod network;
mod run;
mod try_out;

pub(crate) use run::doctor;
