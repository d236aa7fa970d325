//! The project's own commands: `cargo xtask <command>`.

mod bench_proxy;
mod child;
mod dist;
mod doc_block;
mod escapes;
mod mcp;
mod prices;
mod proof;
mod real_mcp;
mod real_model;
mod real_runners;
mod test;
mod workspace;

use std::process::ExitCode;

use bench_proxy::Build;

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  test                    server programs, formatting, lints, every test, doc tests, docs, the library with each feature alone
  crash --runs <n>        kills a gateway under load so often, also where it hurts, and looks whether the ledger lost anything
  sigterm --runs <n>      ends a gateway under load so often, in order, and looks for what its clients were told of
  restart                 starts a gateway with 100,000 rows in its journal: 300 ms to the first answer
  budget --runs <n>       processes that share a budget, so many random runs against what their provider really bills
  writers --seconds <n>   64 writers on one SQLite file for so long, while old rows go: it is never locked
  dist                    the gateway as it is released: built, tried, and built again after what it did there
  bench-proxy [--record]  that gateway against a bare reverse proxy; --record writes docs/PERFORMANCE.md
  bench-proxy --release [--record]  the same with the release build
  real-model [--record]   a real language model behind the gateway; --record writes docs/REAL-MODEL.md
  escapes                 everything that tries to get out of the sandbox, with 100,000 rounds of the race
  real-runners [--record] the real Vitest and Playwright behind the tools; --record writes docs/TOOLS.md
  mcp-conformance [--record]  the official MCP conformance suite; --record writes docs/MCP.md
  mcp-conformance --client  its scenarios for clients, with the gateway as the client of its servers
  mcp-latency [--record]  waits over standard input and output; --record writes docs/MCP.md
  mcp-clients             the official MCP clients list and call every tool
  real-mcp [--record]     published MCP servers behind the gateway; --record writes a table into docs/MCP-UPSTREAM.md
  prices --from <file>    write proxy/prices anew from a collected list in JSON";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["test"] => test::run(),
        ["budget", "--runs", runs] => proof::BUDGET.run(runs),
        ["crash", "--runs", runs] => proof::CRASH.run(runs),
        ["sigterm", "--runs", runs] => proof::SIGTERM.run(runs),
        ["restart"] => proof::RESTART.run("100000"),
        ["writers", "--seconds", seconds] => proof::WRITERS.run(seconds),
        ["prices", "--from", file] => prices::run(file),
        ["escapes"] => escapes::run(),
        ["real-runners"] => real_runners::run(Record::No),
        ["real-runners", "--record"] => real_runners::run(Record::Yes),
        ["mcp-latency"] => mcp::latency(Record::No),
        ["mcp-latency", "--record"] => mcp::latency(Record::Yes),
        ["mcp-clients"] => mcp::clients(),
        ["mcp-conformance", "--client"] => mcp::conformance_client(),
        // What the suite starts as the client.
        ["mcp-client", url] => mcp::act(url),
        ["mcp-conformance"] => mcp::conformance(Record::No),
        ["mcp-conformance", "--record"] => mcp::conformance(Record::Yes),
        ["dist"] => dist::run(),
        ["bench-proxy"] => bench_proxy::run(Build::Dist, Record::No),
        ["bench-proxy", "--record"] => bench_proxy::run(Build::Dist, Record::Yes),
        ["bench-proxy", "--release"] => bench_proxy::run(Build::Release, Record::No),
        ["bench-proxy", "--release", "--record"] => bench_proxy::run(Build::Release, Record::Yes),
        ["real-mcp"] => real_mcp::run(Record::No),
        ["real-mcp", "--record"] => real_mcp::run(Record::Yes),
        ["real-model"] => real_model::run(Record::No),
        ["real-model", "--record"] => real_model::run(Record::Yes),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a command writes its result into the documentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Record {
    No,
    Yes,
}
