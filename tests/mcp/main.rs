//! `mesh mcp` over stdio, as an editor drives it.

#[path = "../common/mod.rs"]
mod common;

mod alone;
mod losses;
mod mail;
mod setup;
mod tools;
