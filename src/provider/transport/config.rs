use std::time::Duration;

use super::addresses::Private;

/// How providers are connected to.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    pub(super) connect_timeout: Duration,
    pub(super) max_idle: usize,
    pub(super) private: Private,
    pub(super) pool_per_thread: bool,
}

impl Default for TransportConfig {
    /// Two seconds to connect, 128 idle connections per host, no private addresses.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            max_idle: 128,
            private: Private::Refused,
            pool_per_thread: false,
        }
    }
}

impl TransportConfig {
    /// Sets how long name resolution, connecting and TLS may take together. There is no other limit: time limits are a layer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many idle connections are kept per host.
    #[must_use]
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.max_idle = connections;
        self
    }

    /// Allows private, loopback and link-local addresses: for models on this computer or in this network.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.private = Private::Allowed;
        self
    }

    /// Keeps connections apart by thread, so that an answer is read on the thread that asked: for servers whose threads each have a
    /// runtime of their own. [`max_idle`](Self::max_idle) then holds for each thread.
    #[must_use]
    pub fn pool_per_thread(mut self) -> Self {
        self.pool_per_thread = true;
        self
    }
}
