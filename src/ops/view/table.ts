import { type Html, html, type Part } from './html.ts';

export interface HtmlColumn<T> {
  readonly head: string;
  readonly cell: (row: T) => Part;
  readonly isNumber?: boolean;
  /** Where the table sorted by this column is. */
  readonly sort?: { readonly href: string; readonly isSorted: boolean };
}

export interface HtmlTableOptions<T> {
  readonly label: string;
  readonly columns: readonly HtmlColumn<T>[];
  readonly rows: readonly T[];
  readonly classOf?: (row: T) => string;
  /** A line of its own below the row; null: none. */
  readonly below?: (row: T) => Html | null;
}

/** A table that scrolls within itself where it is wider than the page. */
export function table<T>({ label, columns, rows, classOf = () => '', below = () => null }: HtmlTableOptions<T>): Html {
  const kind = ({ isNumber = false }: HtmlColumn<T>) => (isNumber ? html` class="n"` : null);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table>
<thead><tr>${columns.map((column) => html`<th scope="col"${kind(column)}${column.sort?.isSorted ? html` aria-sort="other"` : null}>${column.sort === undefined ? column.head : html`<a href="${column.sort.href}">${column.head}</a>`}</th>`)}</tr></thead>
<tbody>${rows.map((row) => {
    const more = below(row);
    return html`<tr class="${classOf(row)}">${columns.map((column) => html`<td${kind(column)} data-head="${column.head}">${column.cell(row)}</td>`)}</tr>${
      more === null ? null : html`<tr class="error"><td colspan="${columns.length}">${more}</td></tr>`
    }`;
  })}</tbody></table></div>`;
}
