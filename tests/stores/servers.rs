//! The servers that tests start for themselves.

use std::time::{Duration, Instant};

use rungs::testing::servers::RedisServer;

#[test]
fn a_redis_can_be_frozen_flushed_killed_and_put_back_in_time() {
    let mut redis = RedisServer::start().unwrap();
    redis.command(&["SET", "a", "1"]).unwrap();
    let early = redis.save().unwrap();
    redis.command(&["SET", "a", "2"]).unwrap();

    redis.freeze().unwrap();
    let start = Instant::now();
    assert!(redis.command(&["GET", "a"]).is_err());
    assert!(start.elapsed() >= Duration::from_secs(1));
    redis.thaw().unwrap();
    assert_eq!(redis.command(&["GET", "a"]).unwrap(), "2");

    redis.restart_from(&early).unwrap();
    assert_eq!(redis.command(&["GET", "a"]).unwrap(), "1");
    redis.flush().unwrap();
    assert_eq!(redis.command(&["DBSIZE"]).unwrap(), "0");
    redis.kill().unwrap();
    assert!(redis.command(&["PING"]).is_err());
    assert!(redis.freeze().is_err());
}

#[test]
fn each_redis_is_its_own_and_ends_with_its_handle() {
    let one = RedisServer::with("maxmemory 4mb\nmaxmemory-policy allkeys-lru").unwrap();
    let other = RedisServer::start().unwrap();
    one.command(&["SET", "a", "1"]).unwrap();
    assert_eq!(other.command(&["DBSIZE"]).unwrap(), "0");
    let url = one.url();
    one.freeze().unwrap();
    drop(one);
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_redis_that_does_not_start_says_why() {
    let error = RedisServer::with("no-such-directive 1").unwrap_err();
    assert!(error.to_string().contains("no-such-directive"), "{error}");
}
