type Ask = (url: string, options?: { method?: string; headers?: Record<string, string> }) => Promise<Response>;
export function parseImage(image: string): { registry: string; repository: string; tag: string };
export function findDigest(image: string, ask?: Ask): Promise<string>;
export function pinImages(
  text: string,
  find?: (image: string) => Promise<string>,
): Promise<{ pinned: string; found: Map<string, string>; failures: string[] }>;
