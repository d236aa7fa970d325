// Lists and calls every tool with the official TypeScript client, over streamable HTTP and over stdio.
import { readFileSync } from 'node:fs';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, rungs, config, samples] = process.argv.slice(2);
const key = process.env.RUNGS_KEY;
const given = JSON.parse(readFileSync(samples, 'utf8'));

const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${key}` } } }),
  stdio: () => new StdioClientTransport({ command: rungs, args: ['mcp', '--config', config], env: { RUNGS_API_KEY: key }, stderr: 'ignore' }),
};
for (const [name, transport] of Object.entries(transports)) {
  const client = new Client({ name: 'typescript', version: '1' });
  await client.connect(transport());
  const { tools } = await client.listTools();
  for (const tool of tools) {
    const result = await client.callTool({ name: tool.name, arguments: given[tool.name] });
    if (result.isError || !result.structuredContent) {
      throw new Error(`${name} ${tool.name}: ${JSON.stringify(result)}`);
    }
  }
  console.log(`typescript over ${name}: ${tools.length} tools listed and called`);
  await client.close();
}
