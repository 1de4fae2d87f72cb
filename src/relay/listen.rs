//! The one listening connection of a relay. It also looks after the database: whether it is there, which catalogue it has.

use super::{Relay, schema};
use crate::postgres::connect;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{Client, Notification};

const CONNECT: Duration = Duration::from_secs(6);
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
const CHECK: Duration = Duration::from_secs(2);
const CHECK_NOT_READY: Duration = Duration::from_millis(500);

/// Listens for ever, connecting again after 0.1 to 2 s.
pub async fn run(relay: Arc<Relay>) {
    let mut pause = FIRST;
    loop {
        let connect = connect::connect(&relay.database_url, relay.database_ca.as_deref());
        match timeout(CONNECT, connect).await {
            Ok(Ok(connection)) => {
                let start = Instant::now();
                let why = listen(&relay, &connection.client, connection.notifications).await;
                relay.schema.away(&why);
                if start.elapsed() > LONGEST {
                    pause = FIRST;
                }
            }
            Ok(Err(error)) => {
                tracing::debug!("{error}");
                relay.schema.away("the database cannot be reached");
            }
            Err(_) => relay.schema.away("the database cannot be reached"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Returns why the connection is of no use any more.
async fn listen(
    relay: &Relay,
    client: &Client,
    mut notifications: UnboundedReceiver<Notification>,
) -> String {
    if !matches!(
        timeout(CONNECT, client.batch_execute("listen mesh")).await,
        Ok(Ok(()))
    ) {
        return "the database refuses to be listened to".to_owned();
    }
    let mut check_at = Instant::now();
    // What was missed while nobody listened.
    woken(relay);
    loop {
        tokio::select! {
            notification = notifications.recv() => {
                if notification.is_none() {
                    return "the database went away".to_owned();
                }
                while notifications.try_recv().is_ok() {}
                relay.metrics.pings.add(1);
                woken(relay);
            }
            () = async { tokio::select! {
                () = sleep_until(check_at) => {}
                () = relay.check.notified() => {}
            } } => {
                if let Err(why) = schema::check(relay, client).await {
                    return why;
                }
                let ready = relay.schema.trouble().is_none();
                check_at = Instant::now() + if ready { CHECK } else { CHECK_NOT_READY };
            }
        }
    }
}

fn woken(relay: &Relay) {
    relay.pings.send_modify(|pings| *pings += 1);
    relay.wakes.send_modify(|wakes| *wakes += 1);
    relay.sweep.notify_one();
}
