//! `mesh mcp`: the stdio server an editor starts. The only module that names the MCP library.
//!
//! `server` answers the editor, `tools` makes tools of the catalogue, `doors` reach those that are not listed, `results` says what came of a call, `link` keeps the session with the relay, `announce`
//! tells of mail without consuming it, `news` of what colleagues did, `order` keeps what is asked for at once in its order, `legacy` keeps the connection at the protocol revision that has such announcements.

mod announce;
mod doors;
mod legacy;
mod link;
mod news;
mod options;
mod order;
mod results;
mod server;
mod tools;

pub use options::Options;
pub use tools::Shown;

use crate::error::{Error, Result};
use rmcp::ServiceExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    signal,
    sync::Notify,
    time::{sleep, timeout},
};

/// How long calls go on after the editor has closed its end, and how long those that wait for their turn.
const GRACE: Duration = Duration::from_millis(500);
const LONGEST_GRACE: Duration = Duration::from_secs(5);

/// Serves on stdin and stdout until stdin ends or the process is told to stop, then closes the session.
pub async fn serve(options: Options) -> Result<()> {
    let link = link::Link::new(options);
    let server = server::Server::new(link.clone());
    let hung_up = Arc::new(Notify::new());
    let order = order::Order::default();
    let serving = async {
        let stdio = rmcp::transport::stdio_pipes();
        let transport = legacy::Legacy::new(stdio, hung_up.clone(), order.clone());
        match server.serve(transport).await {
            Ok(running) => running
                .waiting()
                .await
                .map(drop)
                .map_err(|e| Error::internal(e.to_string())),
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(e) => Err(Error::internal(e.to_string())),
        }
    };
    let result = tokio::select! {
        result = serving => result,
        () = told_to_stop() => Ok(()),
        // Answers on their way still go out; a call that waits for mail does not hold the process.
        () = async {
            hung_up.notified().await;
            let _ = timeout(LONGEST_GRACE, order.empty()).await;
            sleep(GRACE).await;
        } => Ok(()),
    };
    link.close().await;
    result
}

async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = signal::ctrl_c() => return,
        }
    }
    let _ = signal::ctrl_c().await;
}
