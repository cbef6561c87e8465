/** Where a hub is, and how it is asked. */
export interface HubSettings {
  /** Base address without a slash at the end. */
  readonly endpoint: string;
  readonly token?: string;
  /** Folder in the layout of Hugging Face's own cache. */
  readonly cacheDir: string;
  /** Use the cache alone. */
  readonly offline: boolean;
  /** Milliseconds without a byte after which a connection is given up and made anew. */
  readonly timeoutMs: number;
}
