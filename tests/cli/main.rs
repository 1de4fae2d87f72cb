//! The command line as people use it, from a clean HOME.

#[path = "../common/mod.rs"]
mod common;

mod clean;
mod inbox;
mod machines;
mod manners;
mod readme;
mod secrets;
mod tail;
