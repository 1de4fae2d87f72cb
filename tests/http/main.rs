//! HTTP from clients that know nothing of Mesh or mean no good: every answer is clear, and the relay stays up.

#[path = "../common/mod.rs"]
mod common;

mod identity;
mod input;
mod limits;
mod pages;
