//! Where Postgres' programs are on each operating system, and how they get there.

use std::path::{Path, PathBuf};

/// Where Postgres' programs are when they are not in PATH.
pub fn postgres_directories() -> Vec<PathBuf> {
    let places = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr/lib", "postgresql", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ];
    let mut found = Vec::new();
    for (folder, prefix, suffix) in places {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path().join(suffix));
            }
        }
    }
    found
}

/// The command that installs Postgres here, of major version `major` when one is needed.
pub fn install_hint(major: Option<u32>) -> String {
    let exists = |path: &str| Path::new(path).exists();
    let sudo = if nix::unistd::Uid::effective().is_root() {
        ""
    } else {
        "sudo "
    };
    let version = major.map(|m| m.to_string()).unwrap_or_default();
    let dashed = major.map(|m| format!("-{m}")).unwrap_or_default();
    if cfg!(target_os = "macos") {
        return format!("brew install postgresql@{}", major.unwrap_or(17));
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let number: f32 = value("VERSION_ID").parse().unwrap_or(f32::MAX);
    // The major version that the release itself packages.
    let own = match (value("ID").as_str(), number) {
        ("debian", 12.0) => Some(15),
        ("debian", 13.0) | ("ubuntu", 25.04..) => Some(17),
        ("ubuntu", 24.04..) => Some(16),
        ("ubuntu", 23.04..) => Some(15),
        _ => None,
    };
    let old = matches!(
        (value("ID").as_str(), number),
        ("debian", ..12.0) | ("ubuntu", ..23.04)
    );
    if exists("/usr/bin/apt-get") && (old || major.is_some_and(|major| own != Some(major))) {
        let major = major.unwrap_or(17);
        format!(
            "{sudo}apt-get install -y postgresql-common && {sudo}/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
             && {sudo}apt-get install -y postgresql-{major}"
        )
    } else if exists("/usr/bin/apt-get") {
        format!("{sudo}apt-get install -y postgresql{dashed}")
    } else if exists("/usr/bin/dnf") && value("ID") != "fedora" && number < 10.0 {
        format!(
            "{sudo}dnf module install -y postgresql:{}/server",
            major.unwrap_or(16)
        )
    } else if exists("/usr/bin/dnf") {
        format!("{sudo}dnf install -y postgresql{version}-server")
    } else if exists("/usr/bin/pacman") {
        format!("{sudo}pacman -S --noconfirm postgresql")
    } else if exists("/sbin/apk") {
        format!("{sudo}apk add postgresql{}", major.unwrap_or(17))
    } else if exists("/usr/bin/zypper") {
        format!("{sudo}zypper install -y postgresql{version}-server")
    } else {
        format!("install postgresql{dashed} with this system's package manager")
    }
}
