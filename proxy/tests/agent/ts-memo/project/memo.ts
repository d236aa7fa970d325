export function memo(work: Function): Function {
  const known = new Map();
  return (...parts) => {
    const key = parts.join(",");
    if (!known.has(key)) {
      known.set(key, work(...parts));
    }
    return known.get(key);
  };
}
