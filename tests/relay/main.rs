//! The relay over real sockets and a real database, with a client that is not ours.

#[path = "../common/mod.rs"]
mod common;

mod ask;
mod cancel;
mod crowd;
mod database;
mod ends;
mod flood;
mod frames;
mod hold;
mod news;
mod poison;
mod push;
mod sign_in;
