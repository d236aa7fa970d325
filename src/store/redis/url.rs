use std::{fmt, str::FromStr};

use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::error::Error;

/// Where a Redis is: one server, a cluster, or a master that sentinels know.
///
/// | URL | what |
/// |---|---|
/// | `redis://[user:password@]host[:port][/db]` | one server; `rediss` with TLS |
/// | `redis+cluster://[user:password@]host[:port],host[:port]…` | a cluster, by some of its nodes; `rediss+cluster` with TLS |
/// | `redis+sentinel://[user:password@]host[:port],…/master[/db]` | the master of that name, by its sentinels; user and password are the master's |
///
/// `Display` and `Debug` never show user or password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) place: Place,
    shown: String,
    /// As it was written, with user and password.
    written: String,
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for RedisUrl {}

#[derive(Clone)]
pub(super) enum Place {
    One(Box<ConnectionInfo>),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// How to log in at the master.
        login: Box<ConnectionInfo>,
    },
}

const SENTINEL_PORT: u16 = 26379;

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(
                "is no Redis URL like redis://127.0.0.1/, rediss://…, redis+cluster://host,host or redis+sentinel://host,host/master",
            )
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        // A password may have an `@` in it; a host has none.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (format!("{login}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let shown = format!("{scheme}://{rest}");
        let info = |scheme: &str, login: &str, host: &str, db: &str| {
            format!("{scheme}://{login}{host}/{db}")
                .into_connection_info()
                .map_err(|_| wrong())
        };
        let each = |scheme: &str, login: &str, port: &dyn Fn(&str) -> String| {
            let hosts = hosts.split(',').map(str::trim);
            hosts
                .map(|host| info(scheme, login, &port(host), ""))
                .collect::<Result<Vec<_>, _>>()
        };
        let place = match scheme {
            "redis" | "rediss" => Place::One(Box::new(info(scheme, &login, hosts, path)?)),
            "redis+cluster" | "rediss+cluster" if path.is_empty() => {
                let scheme = scheme.trim_end_matches("+cluster");
                Place::Cluster(each(scheme, &login, &str::to_owned)?)
            }
            "redis+sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(wrong());
                }
                let with_port = |host: &str| match host.ends_with(']') || !host.contains(':') {
                    true => format!("{host}:{SENTINEL_PORT}"),
                    false => host.to_owned(),
                };
                Place::Sentinel {
                    sentinels: each("redis", "", &with_port)?,
                    master: master.to_owned(),
                    login: Box::new(info("redis", &login, "master", db)?),
                }
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            place,
            shown,
            written: url.to_owned(),
        })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown)
    }
}
