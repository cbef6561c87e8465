/** What a test reads of a Grafana dashboard. */
export interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly type: string;
    readonly description?: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

/** A query of a panel, without the dashboard's variables: every value of each, and a window of ten seconds. */
export function queriesOf(dashboard: Dashboard): readonly { readonly title: string; readonly expr: string }[] {
  return dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expr: expr.replace(/\$__rate_interval/g, "10s").replace(/"\$(?:job|instance|dictionary)"/g, '".+"'),
    })),
  );
}
