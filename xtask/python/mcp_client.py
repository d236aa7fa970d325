"""List and call every tool with the official Python client, over streamable HTTP and over stdio.

Usage: mcp_client.py URL RUNGS CONFIG ARGUMENTS
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

url, rungs, config, samples = sys.argv[1:]
key = os.environ["RUNGS_KEY"]
with open(samples) as file:
    given = json.load(file)


async def use(name, transport):
    async with Client(transport) as client:
        tools = (await client.list_tools()).tools
        for tool in tools:
            result = await client.call_tool(tool.name, given[tool.name])
            assert not result.is_error and result.structured_content, (name, tool.name, result)
        print(f"python over {name}: {len(tools)} tools listed and called")


async def main():
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60)
    await use("http", streamable_http_client(url, http_client=http))
    server = StdioServerParameters(command=rungs, args=["mcp", "--config", config], env={"RUNGS_API_KEY": key})
    await use("stdio", stdio_client(server))


asyncio.run(main())
