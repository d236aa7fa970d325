import assert from "node:assert/strict";
import { test } from "node:test";
import { total } from "./cart.ts";

test("quantities count", () => {
  assert.equal(total([{ price: 2, count: 3 }, { price: 1, count: 1 }]), 7);
  assert.equal(total([]), 0);
});
