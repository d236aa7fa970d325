import assert from "node:assert/strict";
import { test } from "node:test";
import { memo } from "./memo.ts";

test("each list of arguments has its own answer", () => {
  let calls = 0;
  const count = memo((...parts) => {
    calls += 1;
    return parts.length;
  });
  assert.equal(count("a,b"), 1);
  assert.equal(count("a", "b"), 2);
  assert.equal(count("a", "b"), 2);
  assert.equal(calls, 2);
});
