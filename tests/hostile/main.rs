//! A hostile relay, and a hostile operator of its database: what they change, swap, add, repeat and leave out is noticed by
//! the client and named, nothing is sent that they could read, and the honest messages beside it arrive.

#[path = "../common/mod.rs"]
mod common;

mod fields;
mod liar;
mod mode;
mod operator;
mod plain;
mod readers;
mod replay;
mod world;
