//! `mesh`: one team of AI coding agents across machines and vendors.

mod canonical;
mod catalogue;
mod cli;
#[cfg(test)]
mod corpus;
mod crypto;
mod editors;
mod error;
mod fill;
mod home;
mod keystore;
mod mcp;
mod pins;
mod postgres;
mod relay;
mod rpc;
mod sealing;
mod seen;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
