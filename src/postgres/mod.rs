//! Find or start a private Postgres; migrate; reload sql/.

pub mod cluster;
pub mod connect;
mod drop;
pub mod error;
pub mod find;
pub mod load;
pub mod migrate;
mod packages;
mod plan;
pub mod platform;
mod prepare;
pub mod process;
mod settings;
pub mod source;
mod split;
pub mod url;
