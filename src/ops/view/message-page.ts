import type { AssetUrls } from '../assets.ts';
import { sentence } from './format.ts';
import { type Html, html } from './html.ts';
import { layout } from './layout.ts';

/** `problem`: what went wrong the last time. */
export function signInPage(assets: AssetUrls, problem?: string): Html {
  const main = html`<section class="box sign-in">
<h1>Sign in</h1>
<p>The page is behind the token that leadmirror was started with (<code>OPS_TOKEN</code>).</p>
${problem === undefined ? null : html`<p class="banner" role="alert" id="problem">${problem}</p>`}
<form method="post" action="/sign-in">
<input type="text" name="username" value="leadmirror" autocomplete="username" hidden>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus${problem === undefined ? null : html` aria-describedby="problem"`}>
<button class="primary">Sign in</button>
</form>
</section>`;
  return layout({ title: 'Sign in', assets, main });
}

export function messagePage(assets: AssetUrls, title: string, text: string): Html {
  const main = html`<section class="box"><h1>${title}</h1><p>${sentence(text)}</p><p><a href="/">Back to the overview</a></p></section>`;
  return layout({ title, assets, main });
}
