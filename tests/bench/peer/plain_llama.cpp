// SPDX-License-Identifier: MIT
//
// The peer of `make bench`: decode of a llama2.c version 0 model in plain loops, with no intrinsics, no blocking and no
// threads, compiled with -Ofast for SSE2, and for AVX2 and FMA. That is what a compiler makes of the same arithmetic by
// itself, and what llama2.c's run.c amounts to. A program of its own: prints tokens a second. Trusts its input; not for
// use.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

struct Config {
    int32_t dim, hidden, layers, heads, kv_heads, vocab, context;
};

void matmul(float* y, const float* w, const float* x, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        float sum = 0.0f;
        for (int64_t c = 0; c < cols; c++) {
            sum += w[r * cols + c] * x[c];
        }
        y[r] = sum;
    }
}

void rmsnorm(float* y, const float* x, const float* w, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + 1e-5f);
    for (int i = 0; i < n; i++) {
        y[i] = x[i] * scale * w[i];
    }
}

void rope(float* x, int heads, int head_dim, int position)
{
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < head_dim; i += 2) {
            const float angle = static_cast<float>(position) *
                                std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(head_dim));
            const float a = x[h * head_dim + i];
            const float b = x[h * head_dim + i + 1];
            x[h * head_dim + i] = a * std::cos(angle) - b * std::sin(angle);
            x[h * head_dim + i + 1] = a * std::sin(angle) + b * std::cos(angle);
        }
    }
}

class Plain {
public:
    explicit Plain(std::vector<float> file) : m_file(std::move(file))
    {
        std::memcpy(&m_config, m_file.data(), sizeof m_config);
        const Config& c = m_config;
        const int64_t head_dim = c.dim / c.heads;
        const int64_t kv_dim = c.kv_heads * head_dim;
        const float* next = m_file.data() + sizeof m_config / sizeof(float);
        const auto take = [&next](int64_t count) {
            const float* block = next;
            next += count;
            return block;
        };
        m_embedding = take(int64_t{c.vocab} * c.dim);
        m_att_norm = take(int64_t{c.layers} * c.dim);
        m_wq = take(int64_t{c.layers} * c.dim * c.dim);
        m_wk = take(c.layers * c.dim * kv_dim);
        m_wv = take(c.layers * c.dim * kv_dim);
        m_wo = take(int64_t{c.layers} * c.dim * c.dim);
        m_ffn_norm = take(int64_t{c.layers} * c.dim);
        m_w1 = take(int64_t{c.layers} * c.dim * c.hidden);
        m_w2 = take(int64_t{c.layers} * c.dim * c.hidden);
        m_w3 = take(int64_t{c.layers} * c.dim * c.hidden);
        m_norm = take(c.dim);
        m_keys.resize(static_cast<size_t>(c.layers * c.context * kv_dim));
        m_values.resize(m_keys.size());
    }

    int context() const { return m_config.context; }

    int forward(int token, int position)
    {
        const Config& c = m_config;
        const int head_dim = c.dim / c.heads;
        const int kv_dim = c.kv_heads * head_dim;
        std::vector<float> x(m_embedding + int64_t{token} * c.dim, m_embedding + int64_t{token + 1} * c.dim);
        std::vector<float> in(static_cast<size_t>(c.dim)), q(in), att(in), out(in);
        std::vector<float> gate(static_cast<size_t>(c.hidden)), up(gate), scores(static_cast<size_t>(c.context));
        for (int64_t l = 0; l < c.layers; l++) {
            float* keys = m_keys.data() + l * c.context * kv_dim;
            float* values = m_values.data() + l * c.context * kv_dim;
            rmsnorm(in.data(), x.data(), m_att_norm + l * c.dim, c.dim);
            matmul(q.data(), m_wq + l * c.dim * c.dim, in.data(), c.dim, c.dim);
            matmul(keys + position * kv_dim, m_wk + l * c.dim * kv_dim, in.data(), kv_dim, c.dim);
            matmul(values + position * kv_dim, m_wv + l * c.dim * kv_dim, in.data(), kv_dim, c.dim);
            rope(q.data(), c.heads, head_dim, position);
            rope(keys + position * kv_dim, c.kv_heads, head_dim, position);
            for (int h = 0; h < c.heads; h++) {
                attend(att.data() + h * head_dim, q.data() + h * head_dim, keys + h * c.kv_heads / c.heads * head_dim,
                       values + h * c.kv_heads / c.heads * head_dim, scores.data(), position + 1);
            }
            matmul(out.data(), m_wo + l * c.dim * c.dim, att.data(), c.dim, c.dim);
            for (size_t i = 0; i < x.size(); i++) {
                x[i] += out[i];
            }
            rmsnorm(in.data(), x.data(), m_ffn_norm + l * c.dim, c.dim);
            matmul(gate.data(), m_w1 + l * c.dim * c.hidden, in.data(), c.hidden, c.dim);
            matmul(up.data(), m_w3 + l * c.dim * c.hidden, in.data(), c.hidden, c.dim);
            for (size_t i = 0; i < gate.size(); i++) {
                gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
            }
            matmul(out.data(), m_w2 + l * c.dim * c.hidden, gate.data(), c.dim, c.hidden);
            for (size_t i = 0; i < x.size(); i++) {
                x[i] += out[i];
            }
        }
        rmsnorm(in.data(), x.data(), m_norm, c.dim);
        std::vector<float> logits(static_cast<size_t>(c.vocab));
        matmul(logits.data(), m_embedding, in.data(), c.vocab, c.dim);
        int best = 0;
        for (int i = 1; i < c.vocab; i++) {
            best = logits[static_cast<size_t>(i)] > logits[static_cast<size_t>(best)] ? i : best;
        }
        return best;
    }

private:
    void attend(float* out, const float* q, const float* keys, const float* values, float* scores, int positions) const
    {
        const int head_dim = m_config.dim / m_config.heads;
        const int stride = m_config.kv_heads * head_dim;
        float most = -1e30f;
        for (int t = 0; t < positions; t++) {
            float sum = 0.0f;
            for (int i = 0; i < head_dim; i++) {
                sum += q[i] * keys[t * stride + i];
            }
            scores[t] = sum / std::sqrt(static_cast<float>(head_dim));
            most = scores[t] > most ? scores[t] : most;
        }
        float total = 0.0f;
        for (int t = 0; t < positions; t++) {
            scores[t] = std::exp(scores[t] - most);
            total += scores[t];
        }
        std::memset(out, 0, static_cast<size_t>(head_dim) * sizeof(float));
        for (int t = 0; t < positions; t++) {
            for (int i = 0; i < head_dim; i++) {
                out[i] += scores[t] / total * values[t * stride + i];
            }
        }
    }

    std::vector<float> m_file;
    Config m_config = {};
    const float *m_embedding, *m_att_norm, *m_wq, *m_wk, *m_wv, *m_wo, *m_ffn_norm, *m_w1, *m_w2, *m_w3, *m_norm;
    std::vector<float> m_keys, m_values;
};

} // namespace

int main(int argc, char** argv)
{
    FILE* file = argc == 3 ? std::fopen(argv[1], "rb") : nullptr;
    if (file == nullptr) {
        std::fputs("usage: plain MODEL.bin TOKENS\n", stderr);
        return 1;
    }
    std::fseek(file, 0, SEEK_END);
    std::vector<float> bytes(static_cast<size_t>(std::ftell(file)) / sizeof(float));
    std::rewind(file);
    const size_t got = std::fread(bytes.data(), sizeof(float), bytes.size(), file);
    std::fclose(file);
    if (got != bytes.size()) {
        return 1;
    }
    Plain model(std::move(bytes));
    int token = model.forward(1, 0); // untimed: pages and caches
    const int tokens = std::atoi(argv[2]) < model.context() - 1 ? std::atoi(argv[2]) : model.context() - 1;
    const auto started = std::chrono::steady_clock::now();
    for (int i = 1; i <= tokens; i++) {
        token = model.forward(token, i);
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    std::printf("%.3f\n", tokens / elapsed.count());
    return token < 0;
}
