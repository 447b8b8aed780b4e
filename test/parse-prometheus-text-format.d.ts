declare module 'parse-prometheus-text-format' {
  /** Families as plain data; numbers stay text. */
  export default function parsePrometheusTextFormat(text: string): unknown[];
}
