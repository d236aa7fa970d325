// Lists and calls every tool with the Inspector's command line, over streamable HTTP and over stdio.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [inspector, url, rungs, , samples] = process.argv.slice(2);
const key = process.env.RUNGS_KEY;
const given = JSON.parse(readFileSync(samples, 'utf8'));

const targets = {
  http: [url, '--transport', 'http', '--header', `Authorization: Bearer ${key}`],
  // `--config` would be the Inspector's own; the gateway finds rungs.toml in this folder.
  stdio: ['-e', `RUNGS_API_KEY=${key}`, rungs, 'mcp'],
};
for (const [name, target] of Object.entries(targets)) {
  const ask = (...asked) =>
    JSON.parse(execFileSync(process.execPath, [inspector, '--cli', ...target, '--method', ...asked], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
  const { tools } = ask('tools/list');
  for (const tool of tools) {
    const named = Object.entries(given[tool.name]).map(([argument, value]) => `${argument}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
    const result = ask('tools/call', '--tool-name', tool.name, ...named.flatMap((argument) => ['--tool-arg', argument]));
    if (result.isError || !result.structuredContent) throw new Error(`${name} ${tool.name}: ${JSON.stringify(result)}`);
  }
  console.log(`inspector over ${name}: ${tools.length} tools listed and called`);
}
