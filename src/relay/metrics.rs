//! Counters of one relay, in Prometheus' text format. No label holds a name or an id.

use super::Relay;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const BOUNDS: [u64; 6] = [1, 4, 16, 64, 128, 256];

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Default)]
pub struct Metrics {
    /// by hundreds of the status: 2xx, 4xx, 5xx
    calls: [Counter; 3],
    /// by upper bound
    batches: [Counter; BOUNDS.len()],
    batched: Counter,
    pub aside: Counter,
    pub pushes: Counter,
    pub news: Counter,
    pub receipts: Counter,
    pub sweeps: Counter,
    pub pings: Counter,
    pub database_errors: Counter,
    pub refused_connections: Counter,
}

impl Metrics {
    pub fn answered(&self, status: u16) {
        let class = match status {
            0..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.calls[class].add(1);
    }

    pub fn batch(&self, size: usize) {
        let size = size as u64;
        let bound = BOUNDS
            .iter()
            .position(|bound| size <= *bound)
            .unwrap_or(BOUNDS.len() - 1);
        self.batches[bound].add(1);
        self.batched.add(size);
    }
}

/// The text of `/metrics`.
pub fn text(relay: &Relay) -> String {
    let metrics = &relay.metrics;
    let (sockets, sessions) = relay.hub.sizes();
    let mut out = String::new();
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "# HELP mesh_{name} {help}\n# TYPE mesh_{name} {kind}\n"
        );
    };
    head(
        &mut out,
        "calls_total",
        "counter",
        "Calls answered, by class of status.",
    );
    for (class, counter) in ["2xx", "4xx", "5xx"].iter().zip(&metrics.calls) {
        let _ = writeln!(
            out,
            "mesh_calls_total{{status=\"{class}\"}} {}",
            counter.get()
        );
    }
    head(
        &mut out,
        "batch_size",
        "histogram",
        "Writing calls per transaction.",
    );
    let mut batches = 0;
    for (bound, counter) in BOUNDS.iter().zip(&metrics.batches) {
        batches += counter.get();
        let _ = writeln!(out, "mesh_batch_size_bucket{{le=\"{bound}\"}} {batches}");
    }
    let _ = writeln!(out, "mesh_batch_size_bucket{{le=\"+Inf\"}} {batches}");
    let _ = writeln!(out, "mesh_batch_size_sum {}", metrics.batched.get());
    let _ = writeln!(out, "mesh_batch_size_count {batches}");
    for (name, help, value) in [
        (
            "aside_total",
            "Calls that ran alone because their batch failed.",
            metrics.aside.get(),
        ),
        (
            "pushes_total",
            "Frames pushed to sessions.",
            metrics.pushes.get(),
        ),
        ("news_total", "News shown to sessions.", metrics.news.get()),
        (
            "receipts_total",
            "Receipts reported to the database.",
            metrics.receipts.get(),
        ),
        ("sweeps_total", "Looks for mail.", metrics.sweeps.get()),
        ("pings_total", "Pings of the database.", metrics.pings.get()),
        (
            "database_errors_total",
            "Statements that failed.",
            metrics.database_errors.get(),
        ),
        (
            "refused_connections_total",
            "Connections over the limit.",
            metrics.refused_connections.get(),
        ),
    ] {
        head(&mut out, name, "counter", help);
        let _ = writeln!(out, "mesh_{name} {value}");
    }
    let ready = u64::from(relay.schema.trouble().is_none());
    for (name, help, value) in [
        ("sockets", "WebSockets open.", sockets as u64),
        (
            "sessions",
            "Sessions attached to a socket.",
            sessions as u64,
        ),
        (
            "held",
            "Sockets and waits open under a key.",
            relay.held.size() as u64,
        ),
        ("ready", "1 while the database can serve.", ready),
    ] {
        head(&mut out, name, "gauge", help);
        let _ = writeln!(out, "mesh_{name} {value}");
    }
    if let Some(bytes) = resident() {
        head(
            &mut out,
            "resident_bytes",
            "gauge",
            "Memory of the process.",
        );
        let _ = writeln!(out, "mesh_resident_bytes {bytes}");
    }
    out
}

/// Linux only.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
