//! The relay over real sockets and a real database, with a client that is not ours.

#[path = "../common/mod.rs"]
mod common;

mod ask;
mod database;
mod ends;
mod frames;
mod push;
mod sign_in;
