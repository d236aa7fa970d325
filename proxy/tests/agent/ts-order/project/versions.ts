export function sorted(versions: string[]): string[] {
  return [...versions].sort();
}
