//! The flow against a relay of a few lines, which can lie.

mod mode;
mod order;
mod readers;
mod sent;
mod shown;
mod world;
